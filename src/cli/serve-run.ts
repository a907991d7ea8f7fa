/** Runs one Daemon for the command `serve`, as the user that it is to be. */
import { Daemon, type ServeOptions } from '../daemon.js';
import { accounts, confine } from '../privileges.js';
import { ServiceManager } from '../service-manager.js';
import { closeSockets, openSockets } from '../sockets.js';
import { type PrivilegeFlags, privilegesOf, sameProgram } from './privileges.js';
import { serveUntilEnd } from './serve-life.js';

/**
 * Serves until a signal comes or the last connection ends. Returns the exit code. `environment`: as it was at start, for
 * a program that takes the place of this one. Throws ERR_USAGE, ERR_PRIVILEGES, StartError.
 */
export async function run(
  asked: ServeOptions,
  flags: PrivilegeFlags,
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  const options = confined(asked, flags, environment);
  const manager = ServiceManager.of(process.env, process.pid);
  const create = (complete: ServeOptions) => new Daemon(complete);
  return serveUntilEnd(options, create, process, (text) => process.stdout.write(text), manager);
}

/**
 * Becomes the user of --user and --group, if that needs it by starting this program again. Returns the options with
 * those of sockets. Throws ERR_USAGE, ERR_PRIVILEGES, StartError.
 */
function confined(asked: ServeOptions, flags: PrivilegeFlags, environment: NodeJS.ProcessEnv): ServeOptions {
  const { identity, serve } = privilegesOf(flags, asked.pairs, process.geteuid!(), accounts);
  const options = { ...asked, ...serve };
  let opened: ReturnType<typeof openSockets> = [];
  try {
    confine(identity, () => {
      opened = openSockets(
        options.pairs.map(({ socket }) => socket),
        options.socketFile,
      );
      return sameProgram(
        options,
        opened.map(({ fd }) => fd),
        environment,
      );
    });
  } catch (error) {
    closeSockets(opened);
    throw error;
  }
  return options;
}
