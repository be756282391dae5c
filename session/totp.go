package session

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"time"
)

// Time-based codes as every program for them knows, RFC 6238: SHA-1, six
// digits, 30 s. Some leave out of an otpauth URI what they cannot do, so that
// nothing else would be safe to ask for.
const (
	totpPeriod = 30 * time.Second
	totpDigits = 6
	totpDrift  = 1  // steps before and after, RFC 6238 §5.2
	totpSecret = 20 // bytes, as long as the hash, RFC 4226 §4
)

// totpCode is the code of a step, RFC 4226 §5.3.
func totpCode(secret []byte, step uint64) string {
	h := hmac.New(sha1.New, secret)
	h.Write(binary.BigEndian.AppendUint64(nil, step))
	sum := h.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	n := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", totpDigits, n%1_000_000)
}

// totpMatch returns the step that a code is of, around now and after last: a
// code that was used is worth nothing any more, RFC 6238 §5.2.
func totpMatch(secret []byte, code string, now time.Time, last uint64) (step uint64, ok bool) {
	at := now.Unix() / int64(totpPeriod/time.Second)
	for s := at - totpDrift; s <= at+totpDrift; s++ {
		if s < 0 { // 1970
			continue
		}
		if subtle.ConstantTimeCompare([]byte(totpCode(secret, uint64(s))), []byte(code)) == 1 && uint64(s) > last {
			step, ok = uint64(s), true
		}
	}
	return step, ok
}

func totpText(secret []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
}

// totpURI is what the picture for the program holds,
// https://github.com/google/google-authenticator/wiki/Key-Uri-Format.
func totpURI(issuer, account string, secret []byte) string {
	// Spaces as %20: programs take a + for what it is.
	return fmt.Sprintf("otpauth://totp/%s:%s?secret=%s&issuer=%s&algorithm=SHA1&digits=%d&period=%d",
		url.PathEscape(issuer), url.PathEscape(account), totpText(secret), url.PathEscape(issuer), totpDigits, int(totpPeriod/time.Second))
}
