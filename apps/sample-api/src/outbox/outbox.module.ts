import { Module } from '@nestjs/common';
import { RedisStreamsModule } from '@redstart/redis-streams';
import { bookingEvents } from '../bookings/bookings.stream.js';
import { OutboxRelay } from './outbox-relay.js';
import { OutboxRepository } from './outbox.repository.js';

@Module({
  imports: [RedisStreamsModule.forFeature([bookingEvents])],
  providers: [OutboxRepository, OutboxRelay],
  exports: [OutboxRepository, OutboxRelay],
})
export class OutboxModule {}
