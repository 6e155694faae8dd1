// The page: four scenes, four WebSockets. The chats connect at once, the videos when asked.

import { chatWithMany, chatWithOneself } from "./chat.js";
import { video, videoWithControl } from "./video.js";

chatWithOneself(document.getElementById("oneself"));
chatWithMany(document.getElementById("many"));
video(document.getElementById("video"));
videoWithControl(document.getElementById("control"));
