// What is to do stands behind the #: /activate?token=… or /resetPassword?token=…
const [what, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
const token = new URLSearchParams(query).get("token") ?? "";
const outcome = document.getElementById("outcome");
const form = ["activate", "resetPassword"].includes(what) ? document.getElementById(what) : null;

const OPERATIONS = {
  activate: () => ["POST", "/v1/api/users/activate", { token }],
  resetPassword: () => ["PUT", "/v1/api/users/forgot_password", { token, password: document.getElementById("password").value }],
};
const DONE = { activate: "Your account is active. You can sign in now.", resetPassword: "Your password is set. You can sign in now." };

async function send() {
  const [method, path, body] = OPERATIONS[what]();
  const headers = { "content-type": "application/json" };
  const answer = await fetch(path, { method, headers, body: JSON.stringify(body) });
  if (answer.ok) return DONE[what];
  const { code, message, errors = [] } = await answer.json().catch(() => ({}));
  if (code === 2406) throw new Error("This link was used already or is too old. Ask for a new mail.");
  throw new Error([message ?? `The gateway answers ${answer.status}.`, ...errors].join(" – "));
}

if (!form) {
  outcome.textContent = "Open this page by the link in the mail.";
} else {
  document.getElementById("title").textContent = what === "activate" ? "Activate your account" : "Choose a new password";
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      outcome.textContent = await send();
      form.hidden = true;
      history.replaceState(null, "", location.pathname);
    } catch (problem) {
      outcome.textContent = problem.message;
      button.disabled = false;
    }
  });
}
