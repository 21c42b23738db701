/**
 * Says whether this Node can run the repository. Written, like run.mjs, in old syntax on purpose: an old Node has to be able to
 * read it in order to say that it is too old.
 */

export const SUPPORTED = '^20.19.0 || ^22.12.0 || >=24.0.0';

export function isSupported(version) {
  var parts = version.replace(/^v/, '').split('.').map(Number);
  var major = parts[0];
  var minor = parts[1];
  return (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major >= 24;
}

export function unsupportedMessage(version) {
  return [
    'This is Node.js ' + version + '; Redstart needs ' + SUPPORTED + '.',
    'Its libraries are ES modules that CommonJS applications load with require(), which older versions cannot do.',
    'Install a newer Node.js (for example: nvm install 22) and run the command again.',
  ].join('\n');
}
