package netstack_test
import ("testing";"io";"fmt";"sync";"time";"math/rand/v2"
"github.com/tailscale/wireguard-go/tun"
"github.com/tunrouter/tunrouter/netstack"
"github.com/tunrouter/tunrouter/netstack/netstacktest"
)
type held struct { at time.Time; to tun.Device; pkts [][]byte }
func BenchmarkZZ(b *testing.B) {
	for _, kind := range []string{"clean", "reorder", "jitter", "loss0.1", "burst"} {
	for _, norack := range []bool{false,true} {
	b.Run(fmt.Sprintf("%s/norack=%v", kind, norack), func(b *testing.B) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	chans := map[string]chan held{}
	var mu sync.Mutex
	get := func(key string, to tun.Device) chan held {
		mu.Lock(); defer mu.Unlock()
		c := chans[key]
		if c == nil {
			c = make(chan held, 100000); chans[key] = c
			wg.Go(func(){ for { select { case h := <-c: if d := time.Until(h.at); d > 0 { time.Sleep(d) }; h.to.Write(h.pkts, 0); case <-stop: return } } })
		}
		return c
	}
	var n int
	lo := &netstacktest.LinkOptions{Mangle: func(to tun.Device, batch [][]byte) [][]byte {
		cp := make([][]byte, 0, len(batch))
		mu.Lock(); n++; k := n; mu.Unlock()
		delay := 10*time.Millisecond
		lane := "a"
		for _, p := range batch {
			if kind == "loss0.1" && rand.IntN(1000) == 0 { continue }
			if kind == "burst" && k % 2000 == 0 { continue }
			cp = append(cp, append([]byte(nil), p...))
		}
		if kind == "jitter" { delay += time.Duration(rand.IntN(3000))*time.Microsecond }
		if kind == "reorder" && len(cp) > 8 {
			// some packets take a lane 1ms longer
			var slow, fast [][]byte
			for _, p := range cp { if rand.IntN(50)==0 { slow = append(slow, p) } else { fast = append(fast, p) } }
			if len(slow) > 0 { select { case get(fmt.Sprintf("slow%p", to), to) <- held{time.Now().Add(delay+time.Millisecond), to, slow}: default: } }
			cp = fast
		}
		select { case get(fmt.Sprintf("%s%p", lane, to), to) <- held{time.Now().Add(delay), to, cp}: default: }
		return nil
	}}
	x, y := netstacktest.Pair(b, &netstack.Options{DisableRACK: norack}, lo)
	c, d := connect(b, x.Net(), y.Net(), netstacktest.B4)
	go func() { buf := make([]byte, 256<<10); for { if _, err := c.Write(buf); err != nil { return } } }()
	buf := make([]byte, 256<<10); total := 0
	end := time.Now().Add(5*time.Second)
	d.SetReadDeadline(end)
	for { m, err := d.Read(buf); total += m; if err != nil { break } }
	_ = io.EOF
	st := x.Stats().TCP
	b.ReportMetric(float64(total)*8/5/1e6, "Mbit/s")
	b.ReportMetric(float64(st.Retransmits), "retrans")
	b.ReportMetric(float64(st.Timeouts), "timeouts")
	c.Close(); d.Close()
	close(stop); wg.Wait()
	})
	}}
}
