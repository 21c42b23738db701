import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { ManualClock, Warnings } from '../src/index.js';

describe('Warnings', () => {
  const told: string[] = [];
  const clock = new ManualClock();
  let warnings: Warnings;

  beforeEach(() => {
    told.length = 0;
    jest.spyOn(Logger.prototype, 'warn').mockImplementation((message: unknown) => told.push(String(message)));
    warnings = new Warnings('Spec', clock);
  });
  afterEach(() => {
    jest.restoreAllMocks();
  });

  it('tells a kind of trouble at once, and again after 30 s with the number of those between', () => {
    for (let i = 0; i < 4; i++) warnings.warn('outage', 'Redis is away.');
    warnings.warn('corrupt', 'A value is discarded.');
    expect(told).toEqual(['Redis is away.', 'A value is discarded.']);
    clock.advance(29_999);
    warnings.warn('outage', 'Redis is away.');
    expect(told).toHaveLength(2);
    clock.advance(1);
    warnings.warn('outage', 'Redis is away.');
    expect(told[2]).toBe('Redis is away. (and 4 times before)');
  });

  it('remembers a bounded number of kinds', () => {
    for (let kind = 0; kind <= 100; kind++) warnings.warn(`kind ${kind}`, 'Trouble.');
    warnings.warn('kind 100', 'Trouble.');
    expect(told).toHaveLength(101);
    warnings.warn('kind 0', 'Trouble.');
    expect(told).toHaveLength(102);
  });
});
