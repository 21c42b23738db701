import { ConsoleLogger, type LogLevel } from '@nestjs/common';

/** Where Nest tells how it puts the application together. Of interest when that fails, and then it is an error, which is always shown. */
const assembly = new Set(['NestFactory', 'InstanceLoader', 'RoutesResolver', 'RouterExplorer', 'NestApplication']);

/** Nest's console logger without the forty lines of a start that goes well. */
export class AppLogger extends ConsoleLogger {
  protected override printMessages(messages: unknown[], context = '', level: LogLevel = 'log', ...rest: never[]): void {
    if (level === 'log' && assembly.has(context)) return;
    super.printMessages(messages, context, level, ...rest);
  }
}
