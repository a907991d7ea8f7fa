/** Runs one Daemon for the command `serve`, as the user that it is to be. */
import { addMute } from '../control/mute.js';
import { Daemon, type ServeOptions } from '../daemon.js';
import { isJournal, tellJournal } from '../journal.js';
import { redirectLog } from '../log.js';
import { accounts, confine } from '../privileges.js';
import { ServiceManager } from '../service-manager.js';
import { closeSockets, type OpenSocket, openSockets } from '../sockets.js';
import type { Asked } from './asked.js';
import { Observation, ObservedDaemon } from './observation.js';
import { type Privileges, privilegesOf, sameProgram, withPrivileges } from './privileges.js';
import { serveUntilEnd } from './serve-life.js';

/**
 * Serves until a signal comes or the last connection ends. Returns the exit code. `environment`: as it was at start, for
 * a program that takes the place of this one. Throws ERR_CONFIG, ERR_USAGE, ERR_PRIVILEGES, StartError.
 */
export async function run(asked: Asked, environment: NodeJS.ProcessEnv): Promise<number> {
  if (isJournal(environment)) redirectLog(tellJournal);
  const options = confined(asked, environment);
  const manager = ServiceManager.of(process.env, process.pid);
  let daemon: Daemon;
  const observation = new Observation(asked.observation, () => daemon.reports);
  const create = (complete: ServeOptions) => {
    daemon = new Daemon(complete);
    return new ObservedDaemon(daemon, observation);
  };
  const reload = await asked.configuration?.reloadOf(() => daemon, options.pairs);
  if (reload) observation.commands.add('reload', reload);
  addMute(observation.commands, () => daemon.devices);
  return serveUntilEnd(options, create, process, (text) => process.stdout.write(text), manager, reload);
}

/**
 * Becomes the user of --user and --group, if that needs it by starting this program again. Returns the options with
 * those of sockets. Throws ERR_CONFIG, ERR_USAGE, ERR_PRIVILEGES, StartError.
 */
function confined(asked: Asked, environment: NodeJS.ProcessEnv): ServeOptions {
  const { identity, options } = permitted(asked);
  const files = asked.configuration ? [asked.configuration.file] : [];
  const opened: OpenSocket[] = [];
  try {
    confine(identity, () => {
      for (const { socket, own } of options.pairs)
        opened.push(...openSockets([socket], own?.socketFile ?? options.socketFile));
      const descriptors = opened.map(({ fd }) => fd);
      return sameProgram(options, descriptors, environment, files);
    });
  } catch (error) {
    closeSockets(opened);
    throw error;
  }
  return options;
}

/** The user that the process becomes, and the options with those of sockets. Throws ERR_CONFIG, ERR_USAGE. */
function permitted({ options, privileges, pairPrivileges, configuration }: Asked): {
  identity: Privileges['identity'];
  options: ServeOptions;
} {
  const uid = process.geteuid!();
  try {
    if (!pairPrivileges) {
      const { identity, serve } = privilegesOf(privileges, options.pairs, uid, accounts);
      return { identity, options: { ...options, ...serve } };
    }
    const { identity } = privilegesOf(privileges, options.pairs, uid, accounts);
    const pairs = options.pairs.map((pair, index) =>
      withPrivileges(pair, pairPrivileges[index]!, uid, accounts),
    );
    return { identity, options: { ...options, pairs } };
  } catch (error) {
    throw configuration?.placed(error) ?? error;
  }
}
