import { Module } from '@nestjs/common';
import { RedisStreamsModule } from '@redstart/redis-streams';
import { bookingEvents } from '../bookings/bookings.stream.js';
import { TicketsConsumer } from './tickets.consumer.js';
import { TicketsRepository } from './tickets.repository.js';
import { TicketsService } from './tickets.service.js';

@Module({
  imports: [RedisStreamsModule.forFeature([bookingEvents])],
  providers: [TicketsService, TicketsRepository, TicketsConsumer],
  exports: [TicketsService],
})
export class TicketsModule {}
