import { Module } from '@nestjs/common';
import { RedisStreamsModule } from '@redstart/redis-streams';
import { bookingEvents } from '../bookings/bookings.stream.js';
import { OutboxModule } from '../outbox/outbox.module.js';
import { TicketsConsumer } from './tickets.consumer.js';
import { TicketsController } from './tickets.controller.js';
import { TicketsRepository } from './tickets.repository.js';
import { TicketsService } from './tickets.service.js';

@Module({
  imports: [OutboxModule, RedisStreamsModule.forFeature([bookingEvents])],
  controllers: [TicketsController],
  providers: [TicketsService, TicketsRepository, TicketsConsumer],
  exports: [TicketsService],
})
export class TicketsModule {}
