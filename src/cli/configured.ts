/** `serve --config`: what a configuration and the flags beside it ask for. */
import { servedOf } from '../config/change.js';
import { faultText, textOf, valuesOf } from '../config/configuration.js';
import { ConfigurationError } from '../config/file.js';
import type { LogFormat, LogLevel } from '../log.js';
import type { Asked } from './asked.js';
import { pairsOf, privilegesIn } from './config-pairs.js';
import { faultOf, plain, readSource, sourceOf } from './config-source.js';
import { observationFlags, privilegeFlags, type ServeArguments, serveOptions } from './serve.js';

/** What `serve` is to do. Throws ERR_CONFIG, ERR_USAGE, ERR_DESCRIPTOR. */
export function askedOf(given: ServeArguments, activated: readonly number[]): Asked {
  const source = sourceOf(given, activated);
  const { configuration, faults } = readSource(source);
  const [first, ...more] = faults;
  if (first) {
    const others = more.length > 0 ? ` (and ${more.length} more, see virtio-media-bridge config check)` : '';
    throw new ConfigurationError(`${faultText(source.file, first)}${others}`);
  }
  const nodes = servedOf(configuration);
  const { approve } = valuesOf(configuration.settings);
  const pairs = pairsOf(nodes, source);
  return {
    options: { ...serveOptions({ ...plain, ...(approve !== undefined && { approve }) }, []), pairs },
    privileges: privilegeFlags(valuesOf(configuration.settings)),
    observation: observationFlags(valuesOf(configuration.settings)),
    pairPrivileges: nodes.map((served) => privilegesIn(configuration.settings, served)),
    log: {
      level: textOf(configuration.settings, 'log-level') as LogLevel,
      format: textOf(configuration.settings, 'log-format') as LogFormat,
    },
    configuration: {
      file: source.file,
      reloadOf: async (daemon, served) =>
        (await import('./reload.js')).reloadOf({ source, configuration, pairs: served }, daemon),
      placed: (error) => {
        const fault = faultOf(error, configuration);
        return fault ? new ConfigurationError(faultText(source.file, fault)) : error;
      },
    },
  };
}
