package sign

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
)

func benchMessage(size int) []byte {
	return append([]byte(plain), strings.Repeat("The quick brown fox jumps over the lazy dog, and it does so again.\r\n", size/68)...)
}

// BenchmarkSign signs with both keys, and so does BenchmarkGoMsgauth.
func BenchmarkSign(b *testing.B) {
	for _, size := range []int{2 << 10, 50 << 10, 25 << 20} {
		msg := benchMessage(size)
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := signer()
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				g, err := s.Begin("example.test")
				if err != nil {
					b.Fatal(err)
				}
				for p := range slices.Chunk(msg, 32<<10) {
					_, _ = g.Write(p) // never fails
				}
				if _, err := g.Fields(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGoMsgauth(b *testing.B) {
	for _, size := range []int{2 << 10, 50 << 10, 25 << 20} {
		msg := benchMessage(size)
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := signer()
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				var signers []io.Writer
				for _, k := range testSet().Keys {
					key, err := s.parse(k)
					if err != nil {
						b.Fatal(err)
					}
					one, err := dkim.NewSigner(&dkim.SignOptions{Domain: "example.test", Selector: k.Selector, Signer: key, HeaderKeys: oversigned,
						HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed})
					if err != nil {
						b.Fatal(err)
					}
					signers = append(signers, one)
				}
				all := io.MultiWriter(signers...)
				for p := range slices.Chunk(msg, 32<<10) {
					if _, err := all.Write(p); err != nil {
						b.Fatal(err)
					}
				}
				for _, one := range signers {
					if err := one.(*dkim.Signer).Close(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
