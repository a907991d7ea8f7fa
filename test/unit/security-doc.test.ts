/**
 * Compares docs/security.md with the code: every limit with its value and its option, every word of a list, and every
 * test that the page names.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { policyFlags, policyOf } from '../../src/cli/policy.js';
import { sizeOf } from '../../src/cli/size.js';
import * as policy from '../../src/media/policy.js';
import { controlClasses } from '../../src/v4l2/control-classes.js';
import { mentions, namedTests, read, root, rowsOf, sectionOf } from './support/document.js';

const page = read('docs/security.md');
const section = (heading: string) => sectionOf(page, heading);

/** The number of `4 s` or `300 ms` in milliseconds, of `1 GiB` in bytes, and of `64` as it is. */
function quantity(text: string): number {
  const [, digits, unit = ''] = /^(\d+)(?: (ms|s|KiB|MiB|GiB))?$/.exec(text) ?? [];
  assert.ok(digits, `no quantity: ${text}`);
  return unit === 's' ? Number(digits) * 1000 : unit === 'ms' ? Number(digits) : sizeOf(`${digits}${unit}`);
}

const limits = rowsOf(section('Limits'))
  .slice(2)
  .map(([limit, , value, flag, answer, tests]) => {
    const [{ path, about }] = mentions(limit!) as [{ path: string; about: string }];
    const name = /^: `(\w+)`$/.exec(about)?.[1] ?? '';
    return { path, name, value: value!, flag: flag!.replaceAll('`', ''), answer: answer!, tests: tests! };
  });

describe('docs/security.md', () => {
  it('names files and tests that exist', () => {
    const found = [...mentions(section('Limits')), ...rowsOf(page).flatMap((row) => row.flatMap(mentions))];
    const paragraphs = page.split('\n\n').flatMap((text) => mentions(text.replaceAll('\n', ' ')));
    const everywhere = [...found, ...paragraphs];
    assert.deepEqual(
      everywhere.filter(({ path }) => !existsSync(`${root}${path}`)),
      [],
    );
    const { count, missing } = namedTests(everywhere);
    assert.ok(count > 60, `${count} tests`);
    assert.deepEqual(missing, []);
  });

  it('has the value of every limit, and says what is answered and which test shows it', async () => {
    assert.ok(limits.length > 25, `${limits.length} limits`);
    for (const { path, name, value, answer, tests } of limits) {
      const module = (await import(`../../${path.replace(/\.ts$/, '.js')}`)) as Record<string, unknown>;
      const own = module[name];
      assert.ok(own !== undefined, `${path} has no ${name}`);
      assert.equal(quantity(value), typeof own === 'string' ? sizeOf(own) : own, name);
      assert.ok(answer.length > 0 && mentions(tests).some((each) => each.path.startsWith('test/')), name);
    }
  });

  it('has every number of media/policy.ts', () => {
    const numbers = Object.entries(policy).filter(([, value]) => typeof value === 'number');
    assert.ok(numbers.length > 10);
    const listed = limits.filter(({ path }) => path === 'src/media/policy.ts').map(({ name }) => name);
    const absent = numbers.map(([name]) => name).filter((name) => !listed.includes(name));
    assert.deepEqual(absent, ['MAP_ALIGNMENT'], 'which is no limit');
  });

  it('has every flag of a policy, and limits are those of the flags', () => {
    const listed = rowsOf(section('What a guest may do')).map(([option]) => option!);
    for (const flag of Object.keys(policyFlags))
      assert.ok(
        listed.some((option) => option.includes(`\`--${flag}\``)),
        flag,
      );
    const byFlag = new Map(limits.map(({ flag, value }) => [flag, value]));
    const device = quantity(byFlag.get('--max-device-bytes')!);
    assert.equal(policyOf({}).maxDeviceBytes, device);
    for (const [flag, key] of [
      ['max-sessions', 'maxSessions'],
      ['max-buffers', 'maxBuffers'],
      ['max-buffer-bytes', 'maxBufferBytes'],
    ] as const) {
      const most = quantity(byFlag.get(`--${flag}`)!);
      assert.equal(policyOf({})[key], most);
      assert.equal(policyOf({ [flag]: `${most}` })[key], most);
      assert.throws(() => policyOf({ [flag]: `${most + 1}` }), { code: 'ERR_USAGE' });
    }
  });

  it('has every word of a list of controls, and its examples are taken', () => {
    const [, list] = /### Controls\n(.*?)\n### /s.exec(page)!;
    const table = rowsOf(list!).filter((row) => row.length === 2);
    const words = table.flatMap(([cell]) => [...cell!.matchAll(/`([\w-]+)`/g)].map(([, word]) => word!));
    assert.deepEqual(words.toSorted(), [...Object.keys(controlClasses), 'private', 'all'].toSorted());
    for (const word of words) policyOf({ 'deny-controls': word });
    const examples = [...page.matchAll(/^ {4}(--\S.*?) {3}/gm)].map(([, line]) => line!.split(' '));
    assert.equal(examples.length, 5);
    for (const example of examples)
      for (let at = 0; at < example.length; at += 2) policyOf({ [example[at]!.slice(2)]: example[at + 1] });
  });
});
