/** What is wrong with a configuration, its users and groups included, which only this host can tell. */
import { servedOf } from '../config/change.js';
import type { Configuration, Fault } from '../config/configuration.js';
import { privilegesIn } from './config-pairs.js';
import { faultOf, type Read, readSource, type Source } from './config-source.js';
import { privilegesOf } from './privileges.js';

/** As readSource, with the faults of users and groups if there are no others. Throws ERR_CONFIG, ERR_USAGE. */
export async function readWithAccounts(source: Source): Promise<Read> {
  const { configuration, faults } = readSource(source);
  return { configuration, faults: faults.length > 0 ? faults : distinct(await accountFaults(configuration)) };
}

/** What holds for several nodes is wrong once. */
const distinct = (faults: readonly Fault[]): Fault[] => [
  ...new Map(faults.map((fault) => [JSON.stringify(fault), fault])).values(),
];

/** Users and groups that this host does not have. None if there is no addon to ask with. */
async function accountFaults(configuration: Configuration): Promise<Fault[]> {
  const { accounts } = await import('../privileges.js').catch(() => ({ accounts: undefined }));
  if (!accounts) return [];
  return servedOf(configuration).flatMap((served) => {
    const { node } = served;
    const socket = node.settings.has('socket-path') ? { path: '/run/socket' } : { listeningFd: 0 };
    try {
      const flags = privilegesIn(configuration.settings, served);
      privilegesOf(flags, [{ device: '/dev/null', socket }], process.geteuid!(), accounts);
      return [];
    } catch (error) {
      return [faultOf(error, configuration) ?? { ...node.place, sentence: (error as Error).message }];
    }
  });
}
