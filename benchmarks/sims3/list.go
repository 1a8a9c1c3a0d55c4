package main

import (
	"encoding/base64"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"
)

const pageLimit = 1000

type entry struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
}

type folder struct{ Prefix string }

// page is the response to ListObjectsV2.
type page struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	NS                    string   `xml:"xmlns,attr"`
	Name                  string
	Prefix                string
	Delimiter             string `xml:",omitempty"`
	StartAfter            string `xml:",omitempty"`
	ContinuationToken     string `xml:",omitempty"`
	NextContinuationToken string `xml:",omitempty"`
	EncodingType          string `xml:",omitempty"`
	KeyCount              int
	MaxKeys               int
	IsTruncated           bool
	Contents              []entry
	CommonPrefixes        []folder
}

// encode percent-encodes a text where the client asked for it, as S3 does.
func encode(text string, on bool) string {
	if !on {
		return text
	}
	quoted := strings.ReplaceAll(url.QueryEscape(text), "%2F", "/")
	return strings.ReplaceAll(quoted, "+", "%20")
}

func list(w http.ResponseWriter, r *http.Request, name string, b *bucket) {
	query := r.URL.Query()
	after := query.Get("start-after")
	if token := query.Get("continuation-token"); token != "" {
		decoded, err := base64.StdEncoding.DecodeString(token)
		if err != nil {
			refuse(w, r, http.StatusBadRequest, "InvalidArgument", "The token is incorrect", "")
			return
		}
		after = string(decoded)
	}
	p := newPage(name, query)
	p.fill(b.sorted, query.Get("prefix"), query.Get("delimiter"), after)
	body, _ := xml.Marshal(p)
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", strconv.Itoa(len(xml.Header)+len(body)))
	io.WriteString(w, xml.Header)
	w.Write(body)
}

func newPage(name string, query url.Values) *page {
	encoded := query.Get("encoding-type") == "url"
	p := &page{
		NS:                "http://s3.amazonaws.com/doc/2006-03-01/",
		Name:              name,
		Prefix:            encode(query.Get("prefix"), encoded),
		Delimiter:         encode(query.Get("delimiter"), encoded),
		StartAfter:        encode(query.Get("start-after"), encoded),
		ContinuationToken: query.Get("continuation-token"),
		MaxKeys:           pageLimit,
	}
	if encoded {
		p.EncodingType = "url"
	}
	if wanted, err := strconv.Atoi(query.Get("max-keys")); err == nil && wanted < pageLimit {
		p.MaxKeys = wanted
	}
	return p
}

// fill takes the objects after a key, as many as the page holds; keys that share what comes before
// the delimiter are one folder.
func (p *page) fill(all []object, prefix, delimiter, after string) {
	encoded := p.EncodingType == "url"
	i := sort.Search(len(all), func(i int) bool { return all[i].Key >= prefix && all[i].Key > after })
	last := ""
	for i < len(all) && strings.HasPrefix(all[i].Key, prefix) {
		if p.KeyCount >= p.MaxKeys {
			p.IsTruncated = true
			p.NextContinuationToken = base64.StdEncoding.EncodeToString([]byte(last))
			return
		}
		p.KeyCount++
		o := all[i]
		if end := strings.Index(o.Key[len(prefix):], delimiter); delimiter != "" && end >= 0 {
			common := o.Key[:len(prefix)+end+len(delimiter)]
			p.CommonPrefixes = append(p.CommonPrefixes, folder{encode(common, encoded)})
			last = common + "\xff"
			i = sort.Search(len(all), func(i int) bool { return all[i].Key > last })
			continue
		}
		modified := time.Unix(o.Mtime, 0).UTC().Format("2006-01-02T15:04:05.000Z")
		p.Contents = append(p.Contents,
			entry{encode(o.Key, encoded), modified, o.ETag, o.Size, "STANDARD"})
		last = o.Key
		i++
	}
}
