/** mocha's spec reporter, and after it one line that a script can add up: `tally: 3 passed, 0 failed, 1 skipped`. */
const { reporters } = require('mocha');

module.exports = class Tally extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once('end', () => {
      const { passes, failures, pending } = this.stats;
      console.log(`tally: ${passes} passed, ${failures} failed, ${pending} skipped`);
    });
  }
};
