import { Module } from '@nestjs/common';
import { RedisStreamsModule } from '@redstart/redis-streams';
import { BookingRelay } from './booking-relay.js';
import { BookingsController } from './bookings.controller.js';
import { BookingsRepository } from './bookings.repository.js';
import { BookingsService } from './bookings.service.js';
import { bookingEvents } from './bookings.stream.js';

@Module({
  imports: [RedisStreamsModule.forFeature([bookingEvents])],
  controllers: [BookingsController],
  providers: [BookingsService, BookingsRepository, BookingRelay],
})
export class BookingsModule {}
