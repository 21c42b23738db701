import { Module } from '@nestjs/common';
import { FlightsModule } from '../flights/flights.module.js';
import { SeatsController } from './seats.controller.js';
import { SeatsRepository } from './seats.repository.js';
import { SeatsService } from './seats.service.js';

@Module({
  imports: [FlightsModule],
  controllers: [SeatsController],
  providers: [SeatsService, SeatsRepository],
  exports: [SeatsRepository],
})
export class SeatsModule {}
