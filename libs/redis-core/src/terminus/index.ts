export { RedisHealthIndicator, type RedisHealthOptions } from './redis-health.indicator.js';
