package events

// A Way is what is known of one message, the oldest event first.
type Way struct {
	ID     string  `json:"id"`
	Events []Event `json:"events"`
}

// whereMax bounds the messages of one answer: each is a search of its own.
const whereMax = 50

// Where returns the ways of the newest messages that a query finds, before a
// number; 0 is from the end. Next is where to go on, 0 if that was all.
func (l *Log) Where(q Query, limit int, before uint64) (list []Way, next uint64, err error) {
	if limit <= 0 || limit > whereMax {
		limit = whereMax
	}
	if len(q.Kinds) == 0 {
		q.Kinds = Mail()
	}
	seen := make(map[uint64]bool)
	for pages := 0; pages < scanPages; pages++ {
		p, err := l.Find(q, limitMax, before)
		if err != nil {
			return list, 0, err
		}
		for _, e := range p.Events {
			if seen[e.Seq] {
				continue
			}
			if len(list) == limit {
				return list, e.Seq + 1, nil
			}
			w := Way{ID: e.ID, Events: []Event{e}}
			if e.ID != "" {
				if w.Events, err = l.Trace(e.ID, q.Account); err != nil {
					return list, 0, err
				}
			}
			for _, of := range w.Events {
				seen[of.Seq] = true
			}
			list = append(list, w)
		}
		if before = p.Next; before == 0 {
			return list, 0, nil
		}
	}
	return list, before, nil
}

// scanPages is how many pages Where looks through for the next message.
const scanPages = 4
