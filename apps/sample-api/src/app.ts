import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { AppModule } from './app.module.js';
import type { AppConfig } from './config/app-config.js';
import { useValidationPhrases } from './problem/validation-phrases.js';
import { AppLogger } from './startup/app-logger.js';

const BODY_LIMIT = '16kb';

/**
 * Builds the application, ready to listen. What Nest logs meanwhile is held back until `flushLogs()`, so that a start that fails
 * can be reported in one line.
 */
export async function createApp(config: AppConfig): Promise<NestExpressApplication> {
  useValidationPhrases();
  const app = await NestFactory.create<NestExpressApplication>(AppModule.forRoot(config), {
    abortOnError: false,
    logger: new AppLogger(),
    bufferLogs: true,
    autoFlushLogs: false,
    bodyParser: false,
  });
  app.disable('x-powered-by');
  // Not strict: that `null` is JSON and no object is said by the validation, like everything else that is wrong with a body.
  app.useBodyParser('json', { limit: BODY_LIMIT, strict: false });
  serveDocs(app);
  return app;
}

function serveDocs(app: NestExpressApplication): void {
  const description = new DocumentBuilder()
    .setTitle('Flight booking')
    .setDescription('Airports, flights and bookings on real data: the sample application of Redstart.')
    .setVersion('0.1.0')
    .build();
  SwaggerModule.setup('docs', app, () => SwaggerModule.createDocument(app, description));
}
