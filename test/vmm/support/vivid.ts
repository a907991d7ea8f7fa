/** Controls of vivid and entries of their menus. */

export const Control = {
  TEST_PATTERN: 0x00f0_f000,
  OSD_TEXT_MODE: 0x00f0_f001,
  HORIZONTAL_MOVEMENT: 0x00f0_f002,
} as const;
/** Entry of the test pattern's menu. */
export const BARS_100 = 1;
/** Entries of the text mode's menu. ALL shows counters that change from frame to frame. */
export const Text = { ALL: 0, NONE: 2 } as const;
export const Movement = { LEFT_FAST: 0, NONE: 3 } as const;
