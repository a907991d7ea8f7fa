/**
 * What an operator acts upon, with the MESSAGE_ID by which the journal finds it (docs/control.md): `journalctl
 * MESSAGE_ID=…`. An id is never used for anything else. The text is that of the log line.
 */
export const journalMessages: ReadonlyMap<string, string> = new Map([
  ['serving', '42c0675e63b745648489aae7ee26f53d'],
  ['a front-end connected', '540fe10288fc4ca3979bbe8bf3ea4b27'],
  ['the front-end left', '4353ac0e0cca4ba1906f3daaffa58959'],
  ['the front-end was disconnected', '0ab1beeb70a840529217c557f79ede9a'],
  ['the device was unplugged under a session of the guest', '4fbaf02eea5746ac8173bcdc3cff822f'],
  ['the device is back', 'f46a468ab37443e187ae460631b0b6ef'],
  ['a command was not done within its deadline: answered ETIMEDOUT', 'e1752daf2a0a40ce845bf5f04779a2a3'],
  [
    'the driver gave up on a queue (EIO): its buffers go back with the ERROR flag',
    '58e2b58c5e574fd4ac9352f5f4d5ca5d',
  ],
  ['a connection was refused: its user is none of --allow-uid', 'c1e4e5a79af94d29920a1d00e044231f'],
  [
    'ending with files of a device that does not let go: they are left to the kernel',
    '051c3d3a7c55416da87c3088ce51bcd4',
  ],
]);
