#!/usr/bin/env bash
# prom-client renames a counter inside its registry when it writes OpenMetrics: `jobs_total` is `jobs` from then on, because that format names the family
# without the suffix. If the registry is asked for the Prometheus text after that, the family has lost `_total` there as well, and getSingleMetric by the
# registered name still finds it. So a server that answers both kinds of scrapers from one registry changes its metric's name for the second kind
# as soon as the first one has asked. A registry for each format does not have the problem.
#
# Versions: prom-client 15.1.3 of npm's registry. Wants node and npm.
# Exit status: 0 as described, 1 where something has changed, 2 where it cannot be run here.
set -euo pipefail

for tool in node npm; do command -v "$tool" > /dev/null || { echo "this wants $tool" >&2; exit 2; }; done
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd -- "$folder"
npm install --silent --no-audit --no-fund --prefix . prom-client@15.1.3 > log 2>&1 || { tail -n 3 log >&2; exit 2; }

cat > run.mjs <<'X'
import client from 'prom-client';
const registry = new client.Registry();
const counter = new client.Counter({ name: 'jobs_total', help: 'Jobs.', registers: [registry] });
counter.inc(3);
const lines = async () => (await registry.metrics()).split('\n').filter((line) => line.includes('jobs'));
const before = await lines();
registry.setContentType(client.Registry.OPENMETRICS_CONTENT_TYPE);
const open = await lines();
registry.setContentType(client.Registry.PROMETHEUS_CONTENT_TYPE);
const after = await lines();
console.log(JSON.stringify({ before, open, after, found: registry.getSingleMetric('jobs_total') !== undefined }, null, 1));
X
node run.mjs | tee out
node -e '
const { before, open, after } = JSON.parse(require("node:fs").readFileSync("out", "utf8"));
const sample = (lines) => lines.at(-1);
const seen = [before, open, after].map(sample).join();
if (seen !== "jobs_total 3,jobs_total 3,jobs 3") { console.error(`changed: ${seen}`); process.exit(1); }'
