// sims3 serves a folder as an anonymous, read-only S3, and imitates distance.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync/atomic"
	"time"
)

var (
	root      = flag.String("root", ".", "folder with the buckets and their indexes")
	addr      = flag.String("addr", "127.0.0.1:0", "address to listen on; port 0 takes a free one")
	rtt       = flag.Duration("rtt", 0, "round trip to imitate")
	rate      = flag.Float64("rate", 0, "MB/s of one connection; 0 for no limit")
	slowStart = flag.Bool("slowstart", true, "with -rtt and -rate: windows grow as those of TCP")
	checksums = flag.Bool("crc", false, "answer x-amz-checksum-crc64nvme where it is asked for")
	certFile  = flag.String("cert", "", "with -key: speak TLS, with this certificate (PEM)")
	keyFile   = flag.String("key", "", "the certificate's private key (PEM)")
)

// Since the last call of /_stats.
var requests, connections, bytesSent atomic.Int64

// object is one line of an index.
type object struct {
	Key   string `json:"key"`
	Size  int64  `json:"size"`
	ETag  string `json:"etag"`
	CRC   string `json:"crc64nvme"`
	Mtime int64  `json:"mtime"`
}

// bucket holds its objects in the order of their keys, and by key.
type bucket struct {
	sorted []object
	byKey  map[string]*object
}

var buckets = map[string]*bucket{}

func readIndex(path string) (*bucket, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b := &bucket{byKey: map[string]*object{}}
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 1<<20), 1<<20)
	for lines.Scan() {
		var o object
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		b.sorted = append(b.sorted, o)
	}
	sort.Slice(b.sorted, func(i, j int) bool { return b.sorted[i].Key < b.sorted[j].Key })
	for i := range b.sorted {
		b.byKey[b.sorted[i].Key] = &b.sorted[i]
	}
	return b, lines.Err()
}

// refuse answers with an error in S3's own form.
func refuse(w http.ResponseWriter, r *http.Request, status int, code, message, key string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code>"+
			"<Message>%s</Message><Key>%s</Key><RequestId>SIM</RequestId></Error>", code, message, key)
	}
}

func handle(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/_stats" {
		fmt.Fprintf(w, "%d %d %d\n", requests.Swap(0), connections.Swap(0), bytesSent.Swap(0))
		return
	}
	requests.Add(1)
	line, _ := r.Context().Value(lineKey{}).(*line)
	line.travel()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuse(w, r, http.StatusMethodNotAllowed, "MethodNotAllowed", "read only", "")
		return
	}
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	b := buckets[name]
	switch {
	case b == nil:
		refuse(w, r, http.StatusNotFound, "NoSuchBucket", "The bucket does not exist", "")
	case key == "" && r.Method == http.MethodHead:
		w.Header().Set("x-amz-bucket-region", "us-west-2")
	case key == "":
		list(w, r, name, b)
	case b.byKey[key] == nil:
		refuse(w, r, http.StatusNotFound, "NoSuchKey", "The key does not exist", key)
	default:
		send(w, r, filepath.Join(*root, name, key), b.byKey[key], line)
	}
}

// send answers with an object; http.ServeContent knows ranges and conditional requests.
func send(w http.ResponseWriter, r *http.Request, path string, o *object, l *line) {
	file, err := os.Open(path)
	if err != nil {
		refuse(w, r, http.StatusInternalServerError, "InternalError", err.Error(), o.Key)
		return
	}
	defer file.Close()
	head := w.Header()
	head.Set("ETag", o.ETag)
	head.Set("Server", "AmazonS3")
	head.Set("x-amz-request-id", "SIM")
	head.Set("Content-Type", "binary/octet-stream")
	wanted := strings.EqualFold(r.Header.Get("x-amz-checksum-mode"), "ENABLED")
	if *checksums && wanted && o.CRC != "" && r.Header.Get("Range") == "" {
		head.Set("x-amz-checksum-crc64nvme", o.CRC)
		head.Set("x-amz-checksum-type", "FULL_OBJECT")
	}
	http.ServeContent(&sender{w, l}, r, "", time.Unix(o.Mtime, 0), file)
}

// endWithParent ends the server when its standard input closes: whoever started it has ended.
func endWithParent() {
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// secured puts TLS in front. As S3, it does not offer HTTP/2.
func secured(plain net.Listener) net.Listener {
	certificate, err := tls.LoadX509KeyPair(*certFile, *keyFile)
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{certificate},
		NextProtos:   []string{"http/1.1"},
	}
	return tls.NewListener(plain, config)
}

func main() {
	flag.Parse()
	paths, _ := filepath.Glob(filepath.Join(*root, "*.index.jsonl"))
	for _, path := range paths {
		b, err := readIndex(path)
		if err != nil {
			log.Fatal(err)
		}
		buckets[strings.TrimSuffix(filepath.Base(path), ".index.jsonl")] = b
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Handler: http.HandlerFunc(handle),
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			connections.Add(1)
			return context.WithValue(ctx, lineKey{}, newLine())
		},
	}
	scheme := "http"
	if *certFile != "" {
		scheme, listener = "https", secured(listener)
	}
	fmt.Printf("%s://%s\n", scheme, listener.Addr())
	go endWithParent()
	log.Fatal(server.Serve(listener))
}
