import { Module } from '@nestjs/common';
import { FlightsController } from './flights.controller.js';
import { FlightsRepository } from './flights.repository.js';
import { FlightsService } from './flights.service.js';

@Module({ controllers: [FlightsController], providers: [FlightsService, FlightsRepository], exports: [FlightsService] })
export class FlightsModule {}
