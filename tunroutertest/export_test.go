// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunroutertest

// StartLossy is the path of a pair with loss.
var StartLossy = startLossy
