"""Types for annotations of lists that accept a single value."""


class _BroadcastingList:
    def __getitem__(self, kind):
        return kind


BroadcastingList1 = _BroadcastingList()
BroadcastingList2 = _BroadcastingList()
BroadcastingList3 = _BroadcastingList()
