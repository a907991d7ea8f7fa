/** The daemon in a process of its own. It reports what it holds when its parent (endurance.ts) asks. */
import { Daemon, type ServeOptions } from '../../src/daemon.js';
import { configureLog } from '../../src/log.js';
import { holdings } from './holdings.js';

configureLog('warn', 'text');
const daemon = new Daemon(JSON.parse(process.argv[2]!) as ServeOptions);
await daemon.start();
process.on('message', () => void holdings().then((held) => process.send!(held)));
// The parent has ended, in whatever way.
process.on('disconnect', () => void daemon.stop().then(() => process.exit(0)));
process.send!('ready');
