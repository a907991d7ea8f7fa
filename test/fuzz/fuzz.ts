/** `npm run fuzz`: fuzzes until it has found something or has done the given number of operations. */
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { run } from './campaign.js';
import { ForeignDescriptors } from './foreign-descriptors.js';
import { fuzzers } from './fuzzers.js';

const USAGE_ERROR = 2;
const names = fuzzers.map(({ name }) => name);
const sanitizer = fileURLToPath(new URL('../../../test/sanitize.sh', import.meta.url));

const parser = yargs(hideBin(process.argv))
  .scriptName('npm run fuzz --')
  .usage(
    '$0\n\nFuzzes the bridge: what a hostile VMM or guest may send, and all that has to hold all the same.',
  )
  .options({
    operations: { type: 'number', default: 100_000, describe: 'messages, chains and commands in all' },
    seed: { type: 'number', describe: 'of the first run; each later one has the next (random unless told)' },
    only: { choices: names, describe: 'one fuzzer instead of all of them' },
    device: {
      type: 'string',
      describe: 'a V4L2 node for the commands (a fake unless told): not one that is in use',
    },
    sanitize: {
      type: 'boolean',
      default: false,
      describe: 'with AddressSanitizer and UndefinedBehaviorSanitizer',
    },
  })
  .epilogue('Exit code 1: something was found, and the command line that finds it again is printed.')
  .version(false)
  .help('help', 'print this help')
  .locale('en')
  .strict()
  .check(({ operations, seed }) => {
    if (!Number.isSafeInteger(operations) || operations < 1)
      throw new Error('--operations must be 1 or more');
    if (seed !== undefined && (!Number.isInteger(seed) || seed < 0 || seed > 0xffff_ffff))
      throw new Error('--seed must be a number of 32 bits');
    return true;
  })
  .exitProcess(false)
  .fail((message, error) => {
    console.error(`npm run fuzz: ${message ?? error?.message} (see npm run fuzz -- --help)`);
    process.exit(USAGE_ERROR);
  });

const { operations, only, device, sanitize, help, ...chosen } = await parser.parseAsync();
if (help) process.exit();
const seed = chosen.seed ?? randomInt(2 ** 32);
console.log(`seed ${seed}`);
if (sanitize) execFileSync('bash', [sanitizer], { stdio: 'inherit' });

/** Operations done so far, by fuzzer. */
const progress = new Map<string, number>();
const started = performance.now();
const show = () => {
  if (!process.stdout.isTTY) return;
  const parts = [...progress].map(([name, done]) => `${name} ${done}`);
  process.stdout.write(`\r\x1b[K${parts.join(', ')} of ${operations}`);
};

const foreign = await ForeignDescriptors.open(device).catch((error: Error) => {
  console.error(`npm run fuzz: ${error.message}`);
  process.exit(USAGE_ERROR);
});
const result = await run({
  seed,
  operations,
  sanitize,
  foreign,
  ...(only !== undefined && { only }),
  ...(device !== undefined && { device }),
  onProgress: (fuzzer, done) => {
    progress.set(fuzzer, done);
    show();
  },
});
foreign.close();
if (process.stdout.isTTY) process.stdout.write('\r\x1b[K');
const seconds = ((performance.now() - started) / 1000).toFixed(1);
for (const { fuzzer, what, replay } of result.findings)
  console.error(`\n${fuzzer}: ${what}\n\nreplay: ${replay}`);
console.log(`${result.operations} operations in ${seconds} s, ${result.findings.length} findings`);
process.exit(result.findings.length > 0 ? 1 : 0);
