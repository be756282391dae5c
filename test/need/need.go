// Package need says what a test needs of the computer that it runs on.
package need

import (
	"os"
	"os/exec"
	"testing"
)

// Tools are the programs that a test runs. They are needed only where
// HOMEMAIL_TOOLS=1 says that they are there, as in `make test`: there a missing
// one fails the test, elsewhere the test is skipped.
func Tools(t testing.TB, names ...string) {
	t.Helper()
	if os.Getenv("HOMEMAIL_TOOLS") != "1" {
		t.Skip("needs other programs; run `make test`, or set HOMEMAIL_TOOLS=1")
	}
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			t.Fatalf("%s is not installed; run .ci/tools", n)
		}
	}
}

// Root is for tests that mount or break disks. They are skipped where Tools
// are not needed, and fail without root where they are.
func Root(t testing.TB) {
	t.Helper()
	Tools(t)
	if os.Geteuid() != 0 {
		t.Fatal("has to run as root")
	}
}
