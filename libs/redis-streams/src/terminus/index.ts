export { StreamsHealthIndicator, type ConsumerHealth, type StreamsHealthOptions } from './streams-health.indicator.js';
