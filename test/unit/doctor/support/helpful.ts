/** What every finding of `doctor` has to have. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Finding } from '../../../../src/doctor/finding.js';
import { inPackage } from '../../../../src/package.js';

/** What is wrong has a cure and a page that exists, with the section that it names. */
export function assertHelpful(findings: readonly Finding[]): void {
  for (const { state, found: sentence, cure, page } of findings) {
    assert.doesNotMatch(`${sentence}${cure ?? ''}`, /\.$|undefined|null|NaN/);
    assert.equal(cure === null, state === 'ok', sentence);
    assert.equal(page === null, state === 'ok', sentence);
    if (page === null) continue;
    const [path, section] = page.split('#');
    const titles = readFileSync(inPackage(path!), 'utf8').match(/^#+ .*$/gm)!;
    const anchors = titles.map((title) =>
      title
        .toLowerCase()
        .replace(/^#+ /, '')
        .replaceAll(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    );
    assert.ok(section === undefined || anchors.includes(section), `${page}: ${anchors.join(' ')}`);
  }
}
