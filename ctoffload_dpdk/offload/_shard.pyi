from enum import IntEnum

class Want(IntEnum):
    WANT_OUT = 0
    WANT_ADDED = 1
    WANT_INSTALLED = 2

class NoticeKind(IntEnum):
    NOTICE_INSTALLED = 1
    NOTICE_REFUSED = 2
    NOTICE_OUT = 3
    NOTICE_SAMPLE = 4
    NOTICE_NO_SAMPLE = 5
    NOTICE_AGED = 6
    NOTICE_LOST = 7
    NOTICE_PUSHED = 8
