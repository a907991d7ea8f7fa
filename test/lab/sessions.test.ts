/** Many sessions, and their end: closed while they stream, their VMM killed, the device reset, the VM paused. */
import assert from 'node:assert/strict';
