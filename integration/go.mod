module github.com/tunrouter/tunrouter/integration

go 1.26.3

replace github.com/tunrouter/tunrouter => ../
