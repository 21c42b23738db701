import type { ModulesContainer } from '@nestjs/core';
import { isGateway } from './handler-kinds.js';
import { rememberHandshakes } from './handshakes.js';

/** Has all gateways of an application remember the handshakes of their connections. To be called while Nest builds its classes: right after that it connects gateways to their servers. */
export function watchGateways(modules: ModulesContainer): void {
  for (const module of modules.values()) {
    for (const { metatype } of module.providers.values()) {
      if (typeof metatype !== 'function' || !isGateway(metatype)) continue;
      const prototype: unknown = metatype.prototype;
      if (typeof prototype === 'object' && prototype !== null) rememberHandshakes(prototype);
    }
  }
}
