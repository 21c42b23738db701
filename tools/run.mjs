/**
 * The commands of this repository, `npm start`, `npm run demo` and `npm test`. Needs only Node and npm; whatever else is missing, it sets up.
 */
import { isSupported, unsupportedMessage } from './node-version.mjs';

if (isSupported(process.version)) {
  import('./commands.mjs').then(function (commands) {
    return commands.runCommand(process.argv.slice(2));
  });
} else {
  console.error(unsupportedMessage(process.version));
  process.exitCode = 1;
}
