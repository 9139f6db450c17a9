// Answers an application that asks from its own page whether its session goes on (OpenID Connect Session Management 3.2).
addEventListener("message", async (event) => {
  if (event.source !== parent || typeof event.data !== "string") return;
  const [client_id, session_state = ""] = event.data.split(" ");
  let answer = "error";
  try {
    const query = new URLSearchParams({ client_id, session_state, origin: event.origin });
    const reply = await fetch(`login-status-iframe.html/state?${query}`, { cache: "no-store" });
    if (reply.ok) answer = await reply.text();
  } catch {}
  event.source.postMessage(answer, event.origin);
});
