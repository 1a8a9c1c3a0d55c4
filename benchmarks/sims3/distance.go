package main

import (
	"io"
	"net/http"
	"time"
)

const firstWindow = 14600 // bytes: ten segments, what TCP may send before the first acknowledgement

type lineKey struct{}

// line is the imitated way to one client: one TCP connection.
type line struct {
	window float64 // bytes that may be under way
	fresh  bool
}

func newLine() *line { return &line{window: firstWindow, fresh: true} }

// travel waits as long as a request and the first byte of its response are under way.
func (l *line) travel() {
	wait := *rtt
	if l.fresh {
		wait += *rtt // the handshake of TCP
		if *certFile != "" {
			wait += *rtt // and that of TLS 1.3
		}
		l.fresh = false
	}
	if wait > 0 {
		time.Sleep(wait)
	}
}

// sender counts what is sent and, with -rate, sends it window by window. It keeps ReadFrom, and
// with it sendfile: the bytes never pass through this process.
type sender struct {
	http.ResponseWriter
	line *line
}

func (s *sender) ReadFrom(from io.Reader) (int64, error) {
	plain := s.ResponseWriter.(io.ReaderFrom)
	body, known := from.(*io.LimitedReader)
	if *rate <= 0 || !known {
		n, err := plain.ReadFrom(from)
		bytesSent.Add(n)
		return n, err
	}
	round := rtt.Seconds()
	if round == 0 {
		round = 0.01
	}
	return s.paced(plain, body, round)
}

// paced sends a body at the rate of the line: one window a round trip.
func (s *sender) paced(to io.ReaderFrom, body *io.LimitedReader, round float64) (int64, error) {
	most := *rate * 1e6 * round
	var total int64
	next := time.Now()
	for body.N > 0 {
		window := most
		if *slowStart {
			window = min(s.line.window, most)
		}
		n, err := to.ReadFrom(&io.LimitedReader{R: body.R, N: min(int64(window), body.N)})
		total += n
		body.N -= n
		bytesSent.Add(n)
		if err != nil || n == 0 {
			return total, err
		}
		if float64(n) >= window && s.line.window < most {
			s.line.window *= 2
		}
		if body.N > 0 {
			next = next.Add(time.Duration(round * float64(n) / window * 1e9))
			time.Sleep(time.Until(next))
		}
	}
	return total, nil
}
