import { Module } from '@nestjs/common';
import { getOutboxRelayToken, provideOutboxRelay, RedisStreamsModule } from '@redstart/redis-streams';
import { bookingEvents } from '../bookings/bookings.stream.js';
import { AppConfig } from '../config/app-config.js';
import { BookingOutbox } from './booking-outbox.js';
import { OutboxRepository } from './outbox.repository.js';
import { reportRelayFailure } from './relay-failure.js';

@Module({
  imports: [RedisStreamsModule.forFeature([bookingEvents])],
  providers: [
    OutboxRepository,
    BookingOutbox,
    ...provideOutboxRelay(bookingEvents, {
      store: BookingOutbox,
      inject: [AppConfig],
      useFactory: ({ outboxPollSeconds }: AppConfig) => ({
        pollInterval: outboxPollSeconds * 1_000,
        onFailure: reportRelayFailure,
      }),
    }),
  ],
  exports: [OutboxRepository, BookingOutbox, getOutboxRelayToken(bookingEvents)],
})
export class OutboxModule {}
