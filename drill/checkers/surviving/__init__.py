"""The parts of the promise that acknowledged writes survive, one file for each kind of write.

The words are those of a set checker: *lost* = acknowledged and absent;
*unexpected* = present, though nobody attempted it, or it was refused;
*duplicated* = present more than once; *recovered* = present, though its client
never learnt so. An unknown write may be there or not.
"""
