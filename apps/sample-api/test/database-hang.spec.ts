import { describeHanging, onceForAll } from './support/hanging-database.js';
import { prepareDatabase } from './support/prepared-database.js';

describe('while the embedded database hangs', () => {
  describeHanging(onceForAll(prepareDatabase));
});
