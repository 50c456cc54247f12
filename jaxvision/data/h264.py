"""What an H.264 stream says of its pictures before any is decoded (ITU-T H.264, 7.3.2.1.1)."""

# Profiles whose sets of parameters say more about colours.
_HIGH = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)


def has_whole_frames(configuration: bytes | None) -> bool:
    """Whether no picture is a field of a frame, so that a packet is a frame; by the sequence
    parameters in an MP4's or Matroska's decoder configuration (avcC). False where that does not say
    so, or not in the usual way."""
    if not configuration or configuration[0] != 1 or len(configuration) < 9:
        return False
    if configuration[5] & 31 != 1:  # sets of sequence parameters
        return False
    length = int.from_bytes(configuration[6:8], "big")
    try:
        return _frames_only(_Bits(configuration[9 : 8 + length].replace(b"\0\0\3", b"\0\0")))
    except IndexError:
        return False


class _Bits:
    """The bits of a payload from first to last. IndexError after them."""

    def __init__(self, payload: bytes):
        self._bits = "".join(f"{byte:08b}" for byte in payload)
        self._place = 0

    def number(self, count: int) -> int:
        self._place += count
        if self._place > len(self._bits):
            raise IndexError
        return int(self._bits[self._place - count : self._place], 2)

    def golomb(self) -> int:
        """An Exp-Golomb number; of a signed one, the place in 0, 1, -1, 2, ..."""
        zeros = 0
        while not self.number(1):
            zeros += 1
        return (1 << zeros) - 1 + (self.number(zeros) if zeros else 0)


def _frames_only(bits: _Bits) -> bool:
    profile = bits.number(8)
    bits.number(16)  # constraints, level
    bits.golomb()  # number of the set
    if profile in _HIGH:
        if bits.golomb() == 3:  # 4:4:4
            bits.number(1)
        bits.golomb(), bits.golomb()  # depths
        bits.number(1)
        if bits.number(1):  # scaling matrices
            return False
    bits.golomb()  # length of frame numbers
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.number(1)
        bits.golomb(), bits.golomb()
        for _ in range(bits.golomb()):
            bits.golomb()
    bits.golomb()  # reference frames
    bits.number(1)
    bits.golomb(), bits.golomb()  # width, height
    return bool(bits.number(1))
