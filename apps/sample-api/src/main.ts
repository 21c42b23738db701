import 'reflect-metadata';
import { Logger } from '@nestjs/common';
import { createApp } from './app.js';
import { AppConfig } from './config/app-config.js';
import { prepareDatabase } from './database/prepare-database.js';
import { describeStartupFailure } from './startup/startup-error.js';

async function start(): Promise<void> {
  const config = AppConfig.from(process.env);
  await prepareDatabase(config);
  const app = await createApp(config);
  app.enableShutdownHooks();
  await (config.host === undefined ? app.listen(config.port) : app.listen(config.port, config.host));
  app.flushLogs();
  const address = (await app.getUrl()).replace(/\[::1?\]|0\.0\.0\.0/, 'localhost');
  new Logger('Start').log(`Listening on ${address}, documentation at ${address}/docs`);
}

try {
  await start();
} catch (error) {
  process.stderr.write(`${describeStartupFailure(error)}\n`);
  process.exit(1);
}
