import { Module } from '@nestjs/common';
import { AirportsController } from './airports.controller.js';
import { AirportsRepository } from './airports.repository.js';
import { AirportsService } from './airports.service.js';

@Module({ controllers: [AirportsController], providers: [AirportsService, AirportsRepository] })
export class AirportsModule {}
