package smtpd

import (
	"fmt"
	"strings"
)

// Neighbours are scanners and boxes whose makers have not read the RFCs. What
// is done for them here changes nothing about where commands and messages end.

// unnamed is what a neighbour is called whose own name for itself cannot be one.
const unnamed = "unknown"

// neighbour returns who is at the other end, nil if it is nobody of the house.
func (c *conn) neighbour() (*Login, error) {
	list := c.s.o.Neighbours
	if list == nil || !c.remote.IsValid() {
		return nil, nil
	}
	n, ok, err := list.Neighbour(c.remote)
	if !ok || err != nil {
		return nil, err
	}
	return &n, nil
}

// isNeighbour is for what does not matter much.
func (c *conn) isNeighbour() bool {
	n, err := c.neighbour()
	return n != nil && err == nil
}

// mail lets a neighbour whose sender is rewritten anyway say "scanner" for one,
// without a domain, which go-smtp would not take.
func (c *conn) mail(line []byte, arg string) []byte {
	from, rest, _ := strings.Cut(arg, ":")
	path, ok := strings.CutPrefix(strings.TrimLeft(rest, " "), "<")
	name, params, closed := strings.Cut(path, ">")
	if !strings.EqualFold(from, "FROM") || !ok || !closed || name == "" || strings.ContainsAny(name, `@"<:,\`) {
		return line
	}
	if n, err := c.neighbour(); err != nil || n == nil || !n.Rewrite {
		return line
	}
	return fmt.Appendf(nil, "MAIL FROM:<>%s\r\n", params)
}
