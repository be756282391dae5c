package publish

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// A signer signs requests to Amazon, by Signature Version 4:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
type signer struct{ keyID, secret, region, service string }

// sign needs a path and a query that are escaped as Amazon does, which holds
// for what we send: no blanks, and queries sorted by url.Values.
func (s signer) sign(r *http.Request, body []byte, now time.Time) {
	stamp := now.UTC().Format("20060102T150405Z")
	r.Header.Set("X-Amz-Date", stamp)
	query := strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20")
	request := strings.Join([]string{
		r.Method, r.URL.EscapedPath(), query,
		"host:" + r.URL.Host, "x-amz-date:" + stamp, "",
		"host;x-amz-date", hexSum(body),
	}, "\n")
	scope := strings.Join([]string{stamp[:8], s.region, s.service, "aws4_request"}, "/")
	text := strings.Join([]string{"AWS4-HMAC-SHA256", stamp, scope, hexSum([]byte(request))}, "\n")
	key := []byte("AWS4" + s.secret)
	for _, part := range append(strings.Split(scope, "/"), text) {
		key = mac(key, part)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s.keyID+"/"+scope+", SignedHeaders=host;x-amz-date, Signature="+hex.EncodeToString(key))
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
