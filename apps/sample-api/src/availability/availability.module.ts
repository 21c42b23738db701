import { Module } from '@nestjs/common';
import { FlightsModule } from '../flights/flights.module.js';
import { SeatsModule } from '../seats/seats.module.js';
import { AvailabilityController } from './availability.controller.js';
import { AvailabilityService } from './availability.service.js';
import { AvailabilitySnapshots } from './availability.snapshots.js';

@Module({
  imports: [FlightsModule, SeatsModule],
  controllers: [AvailabilityController],
  providers: [AvailabilityService, AvailabilitySnapshots],
})
export class AvailabilityModule {}
