package pipeline

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"facet/internal/child"
	"facet/pipeline/job"
	"facet/pipeline/journal"
	"facet/pipeline/source"
)

// The entries of a journal. A later entry of a key takes the place of an earlier one, except that a failure does
// not take that of a record.
const (
	entryRecord   = "record"   // recorded: an item is done
	entryFailed   = "failed"   // failed: an item has failed
	entryDocument = "document" // opened: a document has so many pages; the key is its path
	entryWritten  = "written"  // written: files of items that are safely on the disk; no key
	entryDropped  = "dropped"  // dropped: items that are none any more; no key
)

// fileStat is the size of a file in bytes and its time in nanoseconds since 1970, by which it is known to be as it was.
type fileStat [2]int64

func statOf(s source.Stat) fileStat { return fileStat{s.Size, s.ModTime} }

// recorded is the body of entryRecord. The record comes last, verbatim as it stands in records.jsonl.
type recorded struct {
	Stat   fileStat        `json:"stat"` // when it was read
	Twin   string          `json:"twin"` // twinKey, in hex
	Record json.RawMessage `json:"record"`
}

// failed is the body of entryFailed. The line is that of errors.jsonl.
type failed struct {
	Stat fileStat        `json:"stat"`
	Line json.RawMessage `json:"error"`
}

// opened is the body of entryDocument.
type opened struct {
	Stat  fileStat `json:"stat"`
	ID    string   `json:"id"`
	Pages int      `json:"pages"`
}

// written is the body of entryWritten.
type written struct {
	Formats []Format `json:"formats"`
	Items   []string `json:"items"` // itemKey.hash and namesHash, in hex
}

// dropped is the body of entryDropped.
type dropped struct {
	Items []string `json:"items"` // itemKey.hash, in hex
}

// itemKey says which item of a run an entry is about: what is done with which page of which file.
type itemKey struct {
	job, path string
	customID  string // that a manifest gives
	page      int
	options   string // JSON of what a manifest says for this item alone; "" if nothing
}

func keyOf(jobName string, i source.Item) itemKey {
	k := itemKey{job: jobName, path: i.Path, customID: i.CustomID, page: i.Page}
	if i.Options != nil && *i.Options != (job.Options{}) {
		o, err := json.Marshal(i.Options)
		if err != nil {
			panic("pipeline: options without JSON: " + err.Error()) // they were read from it
		}
		k.options = string(o)
	}
	return k
}

// String is the key of the item's entries in the journal. The path comes last, since it may hold anything.
func (k itemKey) String() string {
	s := k.job
	if k.page > 0 {
		s += fmt.Sprintf("#%d", k.page)
	}
	s += k.options
	if k.customID != "" {
		s += fmt.Sprintf("%q", k.customID)
	}
	return s + " " + k.path
}

// keyHash stands for a key where a million are kept.
type keyHash [16]byte

func hashOf(key string) keyHash {
	sum := sha256.Sum256([]byte(key))
	return keyHash(sum[:16])
}

func (k itemKey) hash() keyHash { return hashOf(k.String()) }

// namesHash stands for the names of an item's files. They may depend on the other items, and another item's file may
// have the name that this one's comes to have.
type namesHash [4]byte

// namedFiles are the files of an item under certain names.
type namedFiles struct {
	item  keyHash
	names namesHash
}

// twinKey is the same for items that get the same answer: equal bytes, asked the same. Zero is none.
type twinKey [16]byte

func twinOf(jobName string, sum [32]byte, page int, o job.Options) twinKey {
	h := sha256.New()
	h.Write(sum[:])
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(page)))
	fmt.Fprintln(h, jobName)
	json.NewEncoder(h).Encode(o)
	return twinKey(h.Sum(nil)[:16])
}

// outcome is what the ledger knows of an item.
type outcome struct {
	place   journal.Place
	stat    fileStat
	failed  bool
	earlier bool   // an earlier run recorded it
	seen    bool   // it is among the inputs of this run
	stale   bool   // but not as it was, and this run has no outcome yet
	written uint16 // formats whose file is safely on the disk, by their place in allFormats
	names   namesHash
}

// ledger knows what became of items, in this run and in those before it. What it is told is in the journal before
// anybody else hears of it. Safe for concurrent use.
type ledger struct {
	// journal is nil in a run that never ends, which remembers nothing: what comes out of its turn is held in memory.
	journal *journal.Journal

	mu        sync.Mutex
	held      map[int64]journal.Entry
	next      int64
	items     map[keyHash]outcome
	documents map[keyHash]opened // by path
	twins     map[twinKey]journal.Place
}

func newLedger() *ledger {
	return &ledger{held: map[int64]journal.Entry{}, items: map[keyHash]outcome{}, documents: map[keyHash]opened{}, twins: map[twinKey]journal.Place{}}
}

// replay takes in an entry of the journal.
func (l *ledger) replay(e journal.Entry, at journal.Place) error {
	wrong := func(err error) error { return fmt.Errorf("entry %q of kind %s: %w", e.Key, e.Kind, err) }
	switch e.Kind {
	case entryRecord:
		var r struct { // without the record
			Stat fileStat `json:"stat"`
			Twin string   `json:"twin"`
		}
		if err := json.Unmarshal(envelope(e.Body), &r); err != nil {
			return wrong(err)
		}
		l.items[hashOf(e.Key)] = outcome{place: at, stat: r.Stat, earlier: true}
		var twin twinKey
		if decodeHex(twin[:], r.Twin) {
			l.twins[twin] = at
		}
	case entryFailed:
		var f failed
		if err := json.Unmarshal(e.Body, &f); err != nil {
			return wrong(err)
		}
		if before, ok := l.items[hashOf(e.Key)]; ok && !before.failed && before.stat == f.Stat {
			return nil
		}
		l.items[hashOf(e.Key)] = outcome{place: at, stat: f.Stat, failed: true, earlier: true}
	case entryDocument:
		var d opened
		if err := json.Unmarshal(e.Body, &d); err != nil {
			return wrong(err)
		}
		l.documents[hashOf(e.Key)] = d
	case entryWritten:
		var w written
		if err := json.Unmarshal(e.Body, &w); err != nil {
			return wrong(err)
		}
		for _, item := range w.Items {
			var b [20]byte
			if !decodeHex(b[:], item) {
				return wrong(fmt.Errorf("item %q", item))
			}
			k, names := keyHash(b[:16]), namesHash(b[16:])
			if o, ok := l.items[k]; ok {
				if o.names != names { // they have others now
					o.written = 0
				}
				o.written, o.names = o.written|maskOf(w.Formats), names
				l.items[k] = o
			}
		}
	case entryDropped:
		var d dropped
		if err := json.Unmarshal(e.Body, &d); err != nil {
			return wrong(err)
		}
		for _, item := range d.Items {
			var k keyHash
			if !decodeHex(k[:], item) {
				return wrong(fmt.Errorf("item %q", item))
			}
			delete(l.items, k)
		}
	default:
		return wrong(errors.New("a newer facet wrote it"))
	}
	return nil
}

// decodeHex fills to with what s says in hex, and is false if that is not just so many bytes.
func decodeHex(to []byte, s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && copy(to, b) == len(b) && len(b) == len(to)
}

// envelope cuts the record out of the body of entryRecord, which it ends, so that a million need not be parsed.
func envelope(body []byte) []byte {
	if i := bytes.Index(body, []byte(`,"record":`)); i >= 0 {
		return append(bytes.Clone(body[:i]), '}')
	}
	return body
}

// recall says what earlier runs know of an item whose file is as it was, once. A file that is gone is as it was; what has
// no file of its own and of which the listing tells nothing may be anything.
func (l *ledger) recall(key itemKey, item source.Item) (o outcome, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := key.hash()
	o, known = l.items[h]
	untold := item.Stat == source.Stat{}
	if !known || o.seen || untold && item.File == "" || o.stat != statOf(item.Stat) && !(untold && !o.failed) {
		return o, false
	}
	o.seen = true
	l.items[h] = o
	return o, true
}

// mark notes that an item is among the inputs but is to be done again. It is true the first time.
func (l *ledger) mark(key itemKey) (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := key.hash()
	o, known := l.items[h]
	if !known || o.seen {
		return false
	}
	o.seen, o.stale = true, true
	l.items[h] = o
	return true
}

// document says how many pages a document had.
func (l *ledger) document(path string, stat source.Stat) (opened, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d, ok := l.documents[hashOf(path)]
	return d, ok && d.Stat == statOf(stat) && stat != source.Stat{}
}

// twin returns the entry of a finished item with the same answer.
func (l *ledger) twin(k twinKey) (journal.Place, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.twins[k]
	return p, ok
}

// absent lists what earlier runs recorded and this one's inputs do not have, in the order of the journal.
func (l *ledger) absent() []outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	var absent []outcome
	for _, o := range l.items {
		if !o.seen {
			absent = append(absent, o)
		}
	}
	slices.SortFunc(absent, func(a, b outcome) int { return cmp.Compare(a.place.Offset, b.place.Offset) })
	return absent
}

// drop appends, once all inputs are listed, what is no item any more: failures of inputs that are gone and, after a whole
// run, documents that have come to be their pages.
func (l *ledger) drop(whole bool) error {
	l.mu.Lock()
	var gone []keyHash
	for k, o := range l.items {
		if o.failed && !o.seen || o.stale && whole {
			gone = append(gone, k)
			delete(l.items, k)
		}
	}
	l.mu.Unlock()
	for some := range slices.Chunk(gone, mostInEntry) {
		var d dropped
		for _, k := range some {
			d.Items = append(d.Items, hex.EncodeToString(k[:]))
		}
		if err := l.append(entryDropped, "", d); err != nil {
			return err
		}
	}
	return nil
}

// mostInEntry bounds the items that one entry names.
const mostInEntry = 10_000

// put appends entries about the outcomes of items, and returns their places.
func (l *ledger) put(results []Result) ([]journal.Place, error) {
	entries := make([]journal.Entry, len(results))
	for i, r := range results {
		e, err := r.entry()
		if err != nil {
			return nil, err
		}
		entries[i] = e
	}
	if l.journal == nil {
		return l.hold(entries), nil
	}
	places, err := l.journal.Append(entries...)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, r := range results {
		h := hashOf(entries[i].Key)
		l.items[h] = outcome{place: places[i], stat: statOf(r.Item.Stat), failed: r.Err != nil, earlier: l.items[h].earlier, seen: true}
		if r.Err == nil && r.twin != (twinKey{}) {
			l.twins[r.twin] = places[i]
		}
	}
	return places, nil
}

// hold keeps entries in memory until they are asked for.
func (l *ledger) hold(entries []journal.Entry) []journal.Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	places := make([]journal.Place, len(entries))
	for i, e := range entries {
		places[i] = journal.Place{Offset: l.next}
		l.held[l.next] = e
		l.next++
	}
	return places
}

// entry returns an entry, of those that are held once.
func (l *ledger) entry(at journal.Place) (journal.Entry, error) {
	if l.journal != nil {
		return l.journal.Entry(at)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.held[at.Offset]
	delete(l.held, at.Offset)
	return e, nil
}

// append appends an entry that is not about the outcome of an item.
func (l *ledger) append(kind, key string, body any) error {
	b, err := job.Marshal(body)
	if err == nil {
		_, err = l.journal.Append(journal.Entry{Kind: kind, Key: key, Body: b})
	}
	return err
}

// open appends that a document was opened.
func (l *ledger) open(path string, d opened) error {
	if l.journal == nil {
		return nil
	}
	if err := l.append(entryDocument, path, d); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.documents[hashOf(path)] = d
	return nil
}

// wrote appends that the files of items are safely on the disk.
func (l *ledger) wrote(formats []Format, items []namedFiles) error {
	for some := range slices.Chunk(items, mostInEntry) {
		w := written{Formats: formats, Items: make([]string, len(some))}
		for i, n := range some {
			w.Items[i] = hex.EncodeToString(append(n.item[:], n.names[:]...))
		}
		if err := l.append(entryWritten, "", w); err != nil {
			return err
		}
	}
	return nil
}

// entry is what the journal keeps of a result.
func (r Result) entry() (journal.Entry, error) {
	e := journal.Entry{Kind: entryRecord, Key: keyOf(r.Job, r.Item).String()}
	var err error
	if r.Err != nil {
		e.Kind = entryFailed
		var line []byte
		if line, err = r.errorRecord().Line(); err == nil {
			e.Body, err = job.Marshal(failed{statOf(r.Item.Stat), bytes.TrimSuffix(line, []byte("\n"))})
		}
		return e, err
	}
	line, err := r.Record.Line()
	if err == nil {
		e.Body, err = job.Marshal(recorded{statOf(r.Item.Stat), hex.EncodeToString(r.twin[:]), bytes.TrimSuffix(line, []byte("\n"))})
	}
	return e, err
}

// line is what records.jsonl or errors.jsonl has of an item, newline included.
func (l *ledger) line(at journal.Place) ([]byte, error) {
	e, err := l.entry(at)
	if err != nil {
		return nil, err
	}
	line, _, err := lineOf(e)
	return line, err
}

// record reads the record of an item that is done.
func (l *ledger) record(at journal.Place) (*job.Record, error) {
	line, err := l.line(at)
	if err != nil {
		return nil, err
	}
	rec := new(job.Record)
	return rec, json.Unmarshal(line, rec)
}

// errorRecord reads the line of an item that has failed.
func (l *ledger) errorRecord(at journal.Place) (e job.ErrorRecord, err error) {
	line, err := l.line(at)
	if err == nil {
		err = json.Unmarshal(line, &e)
	}
	return e, err
}

func lineOf(e journal.Entry) (line []byte, isRecord bool, err error) {
	var body struct {
		Record, Error json.RawMessage
	}
	if err := json.Unmarshal(e.Body, &body); err != nil {
		return nil, false, fmt.Errorf("entry %q: %w", e.Key, err)
	}
	if e.Kind == entryRecord {
		return append(body.Record, '\n'), true, nil
	}
	return append(body.Error, '\n'), false, nil
}

// spool is the journal of results that go to a stream: they wait in it for their turn, and it ends with the run.
func spool() (l *ledger, remove func(), err error) {
	dir, err := os.MkdirTemp("", "facet")
	if err != nil {
		return nil, nil, err
	}
	l = newLedger()
	l.journal, err = journal.Create(filepath.Join(dir, journalName), []byte(`{"spool":true}`), journal.Options{NoSync: true})
	if err != nil {
		os.RemoveAll(dir)
		return nil, nil, err
	}
	return l, func() { l.journal.Close(); os.RemoveAll(dir) }, nil
}

// syncEvery is how often the files of other formats are synced and noted as safe. A crash costs making those of so
// much time once more.
const syncEvery = time.Minute

// errorRecord is the line of a failed item in errors.jsonl.
func (r Result) errorRecord() *job.ErrorRecord {
	e := &job.ErrorRecord{Error: r.Err.Error(), TimedOut: child.ByTime(r.Err.Error())}
	e.Entry = job.Entry{ID: r.Item.ID, CustomID: r.Item.CustomID, Path: r.Item.Path, Page: r.Item.Page, Job: cmp.Or(r.Job, r.Item.Job), Options: r.Options}
	return e
}
