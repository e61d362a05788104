"""Ed25519 (RFC 8032) on Python integers: slow, plain, and independent of the library under test."""
import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def recover_x(y, sign):
    x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P:
        return None
    return P - x if x & 1 != sign else x


BASE_Y = 4 * pow(5, -1, P) % P
BASE = (recover_x(BASE_Y, 0), BASE_Y, 1)


def add(a, b):
    """The complete twisted Edwards addition, in projective coordinates."""
    z = a[2] * b[2] % P
    zz, x, y = z * z % P, a[0] * b[0] % P, a[1] * b[1] % P
    e = D * x * y % P
    f, g = (zz - e) % P, (zz + e) % P
    cross = ((a[0] + a[1]) * (b[0] + b[1]) - x - y) % P
    return z * f * cross % P, z * g * (y + x) % P, f * g % P


def multiply(point, scalar):
    result = (0, 1, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def encode(point):
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def number(data):
    return int.from_bytes(data, "little")


def expand(seed):
    h = hashlib.sha512(seed).digest()
    return (number(h[:32]) & ((1 << 254) - 8)) | 1 << 254, h[32:]


def public(seed):
    return encode(multiply(BASE, expand(seed)[0]))


def sign(seed, message):
    scalar, prefix = expand(seed)
    r = number(hashlib.sha512(prefix + message).digest()) % L
    big_r = encode(multiply(BASE, r))
    k = number(hashlib.sha512(big_r + public(seed) + message).digest()) % L
    return big_r + ((r + k * scalar) % L).to_bytes(32, "little")
