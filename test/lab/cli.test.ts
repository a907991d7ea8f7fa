/** The command line on real nodes: list, inspect, and serve with a probe in front of it. */
import assert from 'node:assert/strict';
