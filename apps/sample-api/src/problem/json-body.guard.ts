import type { IncomingMessage } from 'node:http';
import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { UnsupportedMediaTypeProblem } from './problem.js';

const JSON_TYPE = 'application/json';

/**
 * Refuses a body that is not declared as JSON. The body parser skips it, so that without this guard it would look like no body at all.
 * No body is left to the validation, which says what is missing.
 */
@Injectable()
export class JsonBodyGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { headers, body } = context.switchToHttp().getRequest<IncomingMessage & { body?: unknown }>();
    const isParsed = body !== undefined;
    const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
    const hasContent = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
    if (isParsed || type === JSON_TYPE || (type === undefined && !hasContent)) return true;
    throw new UnsupportedMediaTypeProblem();
  }
}
