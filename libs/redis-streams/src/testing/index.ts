export { StreamsHarness, type Expected, type ObservedMessage, type StreamsHarnessOptions } from './streams-harness.js';
export { ExpectationNotMetError } from './expectation.error.js';
export { provideNoopStreams } from './noop-streams.js';
